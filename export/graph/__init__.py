"""The virtual cell as a module, its ONNX graphs, and their parity with autograd."""
