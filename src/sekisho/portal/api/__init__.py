"""The API: JSON over the same door as the pages, described by OpenAPI. One module for each noun."""
