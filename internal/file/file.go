// Package file reads what somebody else wrote, up to a bound.
package file

import (
	"errors"
	"io"
	"os"
)

// ErrTooLong is the error of a file that is longer than it may be.
var ErrTooLong = errors.New("longer than it may be")

// Read returns a file's content; a file longer than limit is an error.
func Read(path string, limit int64) ([]byte, error) {
	from, err := os.Open(path) //nolint:gosec // the path is configuration, or made of names that were checked
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }() // read only: nothing can be lost
	data, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = ErrTooLong
	}
	return data, err
}
