"""Three downstream tasks: what a network is worth to a model is what the model then predicts better."""
