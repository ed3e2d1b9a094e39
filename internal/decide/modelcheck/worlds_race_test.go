//go:build race

package modelcheck

const defaultWorlds = 5_000
