"""One question each about given models and images: compute, draw, caption."""
