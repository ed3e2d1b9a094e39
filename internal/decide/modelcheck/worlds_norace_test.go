//go:build !race

package modelcheck

const defaultWorlds = 25_000
