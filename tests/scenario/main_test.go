package scenario_test

import (
	"os"
	"testing"

	"github.com/tracebloc/image-refresh/tests/harness"
)

var environment *harness.Environment

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, harness.Options{Progress: os.Stderr}, func(e *harness.Environment) { environment = e }))
}
