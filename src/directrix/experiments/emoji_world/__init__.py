"""The grammar and art of the embedded models' training images, and the training itself."""
