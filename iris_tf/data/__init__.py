"""What a dataset is: manifest, layouts, splits and the crop store. Not how crops are made."""
