"""The harness: real servers, a test client, a login site, browsers, databases."""
