//go:build !race

package modelcheck

const defaultWorlds = 40_000
