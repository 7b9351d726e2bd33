"""The interface of a backbone, and the parts that transformers over gene tokens are made of."""
