"""Training the networks that the package analyzes: recipes, patches, loop, ablations, zoo."""
