"""What is measured on held-out images, and what the measurements allow to say."""
