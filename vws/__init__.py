"""VWS: a WebRTC signaling server that speaks VideoWhisper's wire protocol."""

__all__ = ["__version__"]

__version__ = "0.1.0"
