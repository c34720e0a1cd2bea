package store

type Store interface{ Close() error }
