"""What training minimises: losses, miners, distillers, schedules and the weights of terms. Not
the loop that does it.
"""
