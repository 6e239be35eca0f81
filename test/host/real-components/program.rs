// An ordinary program: arguments, environment, standard streams, files. The same as program.go and program.c.
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let folder = Path::new(&args[1]);
    println!("arguments: {}", args[2..].join(" "));
    println!("greeting: {}", std::env::var("GREETING").unwrap_or_default());
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    print!("input: {line}");
    print!("file: {}", fs::read_to_string(folder.join("in.txt"))?.to_uppercase());
    let out = folder.join("out.txt");
    fs::write(&out, "written\n")?;
    OpenOptions::new().append(true).open(&out)?.write_all(b"again\n")?;
    fs::create_dir(folder.join("sub"))?;
    fs::rename(&out, folder.join("sub/out.txt"))?;
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        println!("entry: {} {}", entry.file_name().to_string_lossy(), entry.file_type()?.is_dir());
    }
    let mut moved = File::open(folder.join("sub/out.txt"))?;
    println!("size: {}", moved.metadata()?.len());
    moved.seek(SeekFrom::End(-6))?;
    let mut tail = String::new();
    moved.read_to_string(&mut tail)?;
    print!("tail: {tail}");
    let missing = File::open(folder.join("nothing.txt")).map(|_| ()).unwrap_err();
    println!("missing: {}", missing.kind() == ErrorKind::NotFound);
    eprintln!("done");
    std::process::exit(3)
}
