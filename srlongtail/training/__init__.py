"""Training the networks that the package analyses: recipes, patches, loop, ablations, zoo."""
