"""What a backbone is, and the parts that transformers over gene tokens are made of."""
