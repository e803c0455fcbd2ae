package rules

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the repository, as seen from this package.
const root = "../.."

// maxLines is how long a file may be: one that does one thing is shorter.
const maxLines = 600

// goFile is one parsed file of the repository.
type goFile struct {
	path      string // from the root, with slashes
	text      []byte
	syntax    *ast.File
	set       *token.FileSet
	generated bool
}

func (f goFile) dir() string  { return path.Dir(f.path) }
func (f goFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// imports are the paths that the file imports.
func (f goFile) imports(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, spec := range f.syntax.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	return paths
}

// files lists the repository's files: not git's own, nor what was built.
func files(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if slices.Contains([]string{".git", "bin", "dist"}, rel) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil // .git of a git-worktree(1)
		}
		if entry.Type().IsRegular() && rel != ".git" { // a file in a worktree of its own
			all = append(all, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// goFiles parses the Go files of the module.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	var parsed []goFile
	for _, p := range files(t) {
		if path.Ext(p) != ".go" || strings.HasPrefix(p, "tools/") || strings.Contains(p, "testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		syntax, err := parser.ParseFile(set, p, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, goFile{p, text, syntax, set, ast.IsGenerated(syntax)})
	}
	return parsed
}

// A reader finds what a package is for, and its traps, in one place.
func TestEveryPackageHasDoc(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range goFiles(t) {
		if f.isTest() {
			continue
		}
		documented[f.dir()] = documented[f.dir()] || path.Base(f.path) == "doc.go" && f.syntax.Doc.Text() != ""
		if path.Base(f.path) != "doc.go" && f.syntax.Doc != nil {
			t.Errorf("%s: the package's documentation belongs in doc.go", f.path)
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no doc.go with the package's documentation", dir)
		}
	}
}

// Long files do several things.
func TestFilesAreShort(t *testing.T) {
	for _, f := range goFiles(t) {
		if n := bytes.Count(f.text, []byte("\n")); n > maxLines && !f.generated {
			t.Errorf("%s: %d lines, %d are allowed", f.path, n, maxLines)
		}
	}
}

// One format, and no discussion of it.
func TestFormatted(t *testing.T) {
	for _, f := range goFiles(t) {
		formatted, err := format.Source(f.text)
		if err != nil {
			t.Errorf("%s: %v", f.path, err)
		} else if !bytes.Equal(formatted, f.text) {
			t.Errorf("%s: not formatted; run gofmt", f.path)
		}
	}
}

// A shell between nsnet and what it does turns names into code. Package topology, which can
// start nothing, may name the one in a node that runs a command written as a line of text.
func TestNoShell(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.isTest() || f.dir() == "topology" {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			var list []ast.Expr
			switch n := n.(type) {
			case *ast.CallExpr:
				list = n.Args
			case *ast.CompositeLit:
				list = n.Elts
			}
			for i := 1; i < len(list); i++ {
				if isShell(list[i-1]) && literal(list[i]) == "-c" {
					t.Errorf("%s: starts a shell", f.set.Position(list[i].Pos()))
				}
			}
			return true
		})
	}
}

func isShell(e ast.Expr) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "ash"}, path.Base(literal(e)))
}

// literal is the value of a string literal, or nothing.
func literal(e ast.Expr) string {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return ""
	}
	s, err := strconv.Unquote(l.Value)
	if err != nil {
		return ""
	}
	return s
}

// What an error says comes from others, too, registries and nodes: the program prints it by errorText or plain alone, which leave a
// terminal nothing to obey.
func TestErrorsArePrintedPlain(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.isTest() || f.dir() != "cmd/nsnet" {
			continue
		}
		plain := map[ast.Node]bool{}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				return n.Name.Name != "Error" && n.Name.Name != "errorText"
			case *ast.CallExpr:
				if name, ok := n.Fun.(*ast.Ident); ok {
					for _, arg := range n.Args {
						plain[arg] = name.Name == "plain"
						if id, ok := arg.(*ast.Ident); ok && name.Name == "say" && (id.Name == "err" || id.Name == "failure") {
							t.Errorf("%s: an error is printed as it is", f.set.Position(arg.Pos()))
						}
					}
				}
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Error" && len(n.Args) == 0 && !plain[n] {
					t.Errorf("%s: what an error says is used as it is", f.set.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

// A path of the machine where something was written means nothing elsewhere.
func TestNoMachinePaths(t *testing.T) {
	machine := regexp.MustCompile(`(^|[^\w.})*-])/(wo` + `rk/(main|shared|\.)|root/(go|\.cache|\.py)|home/(user|runner|ubuntu)/(go|src|nsnet))`)
	for _, p := range files(t) {
		text, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			if found := machine.Find(line); found != nil {
				t.Errorf("%s:%d: %s is a path of somebody's machine", p, i+1, found)
			}
		}
	}
}
