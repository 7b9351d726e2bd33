"""Made inputs and slow references that tests of several rooms share."""
