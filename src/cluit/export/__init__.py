"""Models as files: safetensors and JSON, never pickle."""
