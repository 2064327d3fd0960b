"""Replies that no server should send, made of captured ones: in process and over sockets (`make fuzz`)."""
