"""Pure rules: no I/O, no framework, no clock; the time is an argument."""
