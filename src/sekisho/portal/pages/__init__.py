"""The pages: server-rendered, complete without JavaScript. One module for each place in the navigation."""
