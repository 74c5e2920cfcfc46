"""The benchmark: this server and a minimal Socket.IO server on Node, side by side under one load."""
