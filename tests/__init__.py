"""The tests: modules beside them mirror what they test; `support` holds the harness."""
