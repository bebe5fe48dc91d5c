"""Peers that several areas' tests share."""
