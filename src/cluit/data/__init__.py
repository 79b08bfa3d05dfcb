"""Where pictures come from: folders, drawn portraits, any map-style data set; and their augmentation."""
