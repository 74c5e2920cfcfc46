"""The wire: event names, the shapes of what clients send, and of what they are sent.

The only place that knows the protocol's own spelling (camelCase, ``peerID``). Source of the shapes:
docs/protocol.md, which is written for people who write clients.
"""
