"""What requests and answers look like: pydantic's models, from which the description of the API is made.

Bodies are read strictly: an unknown field is an error that names it, and "5" is no number.
"""
