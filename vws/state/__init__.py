"""The live state behind one contract: who is connected, who is in which channel and room."""
