"""Whole folders of translations: streamed, resumable, by several processes, with a manifest."""
