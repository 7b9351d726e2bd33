"""Export stage (torch): trace a frozen backbone and its input gradient into an artifact folder."""
