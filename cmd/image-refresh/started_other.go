//go:build !linux

package main

import "time"

// processStart is when this process began, as far as that is known here: now.
func processStart() time.Time { return time.Now() }
