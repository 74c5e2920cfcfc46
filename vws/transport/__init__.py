"""What lies under the events: WebSocket frames, Engine.IO and Socket.IO connections, made safe.

Nothing here knows what a channel or a room is.
"""
