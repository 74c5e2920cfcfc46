"""Real calls between real browsers, through the server under test."""
