"""Networks: backbones, heads, losses and augmentation; arrays in, logits out."""
