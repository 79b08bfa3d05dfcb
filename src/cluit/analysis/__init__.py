"""What style codes know, whoever made them: neighbours, walks, maps. Tensors in, tensors out."""
