"""Events on their way to the dispatcher: written in the transaction of what they tell, published over HTTP afterwards."""
