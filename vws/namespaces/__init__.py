"""The edge between Socket.IO and the use cases: events in, acknowledgements and messages out."""
