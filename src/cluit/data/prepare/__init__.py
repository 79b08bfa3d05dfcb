"""Published data sets: their archives, as they are handed out, into folders of pictures."""
