package daemons

import (
	"os"
	"testing"

	"github.com/nsnet/nsnet/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
