// What programs do with files, by Go's standard library. Prints the same lines as files.rs.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

func must(err error) {
	if err != nil {
		fmt.Println("error", err)
		os.Exit(3)
	}
}

func main() {
	dir := os.Args[1]
	fmt.Printf("args [%q]\n", dir)
	fmt.Printf("env Some(%q)\n", os.Getenv("GREETING"))
	must(os.MkdirAll(dir+"/a/b", 0o755))
	path := dir + "/a/b/f.txt"
	must(os.WriteFile(path, []byte("hello world"), 0o644))
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(err)
	_, err = file.WriteString("!")
	must(err)
	must(file.Close())
	file, err = os.OpenFile(path, os.O_RDWR, 0)
	must(err)
	_, err = file.Seek(6, io.SeekStart)
	must(err)
	text, err := io.ReadAll(file)
	must(err)
	fmt.Println("read", string(text))
	must(file.Truncate(5))
	stat, err := file.Stat()
	must(err)
	fmt.Println("length", stat.Size())
	must(file.Close())
	must(os.Rename(path, dir+"/moved"))
	must(os.Link(dir+"/moved", dir+"/linked"))
	linked, err := os.ReadFile(dir + "/linked")
	must(err)
	fmt.Println("linked", string(linked))
	entries, err := os.ReadDir(dir)
	must(err)
	names := []string{}
	for _, entry := range entries {
		names = append(names, fmt.Sprintf("%q", entry.Name()))
	}
	sort.Strings(names)
	fmt.Printf("names [%s]\n", strings.Join(names, ", "))
	must(os.Remove(dir + "/linked"))
	must(os.RemoveAll(dir + "/a"))
	_, err = os.Stat(dir + "/a")
	fmt.Println("removed", err != nil)
	for _, out := range []string{"../secret.txt", "way-out", "../../../../etc/passwd"} {
		_, err := os.ReadFile(dir + "/" + out)
		fmt.Println("out", err != nil)
	}
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Println("stdin", strings.TrimSpace(line))
	fmt.Fprintln(os.Stderr, "done")
	os.Exit(1)
}
