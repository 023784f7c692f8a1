"""The desktop of a room in a browser: noVNC there, Xvnc behind, and between them a gateway that speaks RFB strictly with both."""
