// An ordinary program: arguments, environment, standard streams, files. The same as program.rs and program.c.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	box := os.Args[1]
	fmt.Println("arguments:", strings.Join(os.Args[2:], " "))
	fmt.Println("greeting:", os.Getenv("GREETING"))
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Print("input: ", line)
	text, err := os.ReadFile(filepath.Join(box, "in.txt"))
	check(err)
	fmt.Print("file: ", strings.ToUpper(string(text)))
	out := filepath.Join(box, "out.txt")
	check(os.WriteFile(out, []byte("written\n"), 0o644))
	more, err := os.OpenFile(out, os.O_APPEND|os.O_WRONLY, 0)
	check(err)
	_, err = more.WriteString("again\n")
	check(err)
	check(more.Close())
	check(os.Mkdir(filepath.Join(box, "sub"), 0o755))
	check(os.Rename(out, filepath.Join(box, "sub", "out.txt")))
	entries, err := os.ReadDir(box)
	check(err)
	for _, entry := range entries {
		fmt.Println("entry:", entry.Name(), entry.IsDir())
	}
	moved, err := os.Open(filepath.Join(box, "sub", "out.txt"))
	check(err)
	stat, err := moved.Stat()
	check(err)
	fmt.Println("size:", stat.Size())
	_, err = moved.Seek(-6, io.SeekEnd)
	check(err)
	tail, err := io.ReadAll(moved)
	check(err)
	fmt.Print("tail: ", string(tail))
	_, err = os.Open(filepath.Join(box, "nothing.txt"))
	fmt.Println("missing:", os.IsNotExist(err))
	fmt.Fprintln(os.Stderr, "done")
	os.Exit(3)
}
