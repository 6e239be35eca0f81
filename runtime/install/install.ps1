# Installs stele: downloads one file, compares its checksum, puts it in place. Nothing is changed before the download has
# been verified.
#
#     irm ADDRESS/install.ps1 | iex
#     & ([scriptblock]::Create((irm ADDRESS/install.ps1))) -Prefix C:\Tools -DryRun
param(
  [string]$Prefix = $(if ($env:STELE_PREFIX) { $env:STELE_PREFIX } else { Join-Path $env:LOCALAPPDATA "stele" }),
  [string]$From = $(if ($env:STELE_FROM) { $env:STELE_FROM } else { "@ADDRESS@" }),
  [switch]$Bun,
  [switch]$DryRun
)
$ErrorActionPreference = "Stop"
$ProgressPreference = "SilentlyContinue"
if ($From -notmatch "^(https?|file)://") { throw "install.ps1: no address to download from: pass -From URL" }
$From = $From.TrimEnd("/")
$arch = if ([Runtime.InteropServices.RuntimeInformation]::OSArchitecture -eq "Arm64") { "arm64" } else { "x64" }
$name = if ($Bun) { "stele-bun" } else { "stele" }
$file = "$name-windows-$arch.exe.gz"
$folder = Join-Path $Prefix "bin"
$place = Join-Path $folder "stele.exe"
if ($DryRun) {
  "Would download $From/$file"
  "Would compare its SHA-256 with $From/SHA256SUMS"
  "Would install it as $place"
  return
}
$work = New-Item -ItemType Directory -Path (Join-Path ([IO.Path]::GetTempPath()) ([Guid]::NewGuid()))
# Windows runs what is named so and nothing else.
$draft = Join-Path $folder "stele.$PID.exe"
try {
  $sums = Join-Path $work "SHA256SUMS"
  Invoke-WebRequest -UseBasicParsing "$From/SHA256SUMS" -OutFile $sums
  $line = Get-Content $sums | Where-Object { ($_ -split "\s+")[1] -eq $file }
  if (-not $line) { throw "install.ps1: there is no $file at ${From}: this machine is not among its platforms" }
  $expected = ($line -split "\s+")[0]
  "Downloading $From/$file"
  $packed = Join-Path $work $file
  Invoke-WebRequest -UseBasicParsing "$From/$file" -OutFile $packed
  $actual = (Get-FileHash -Algorithm SHA256 $packed).Hash.ToLowerInvariant()
  if ($actual -ne $expected) { throw "install.ps1: the checksum of $file is $actual, not ${expected}: nothing was installed" }
  New-Item -ItemType Directory -Force -Path $folder | Out-Null
  $in = New-Object IO.Compression.GZipStream([IO.File]::OpenRead($packed), [IO.Compression.CompressionMode]::Decompress)
  $out = [IO.File]::Create($draft)
  try { $in.CopyTo($out) } finally { $out.Dispose(); $in.Dispose() }
  & $draft build-info | Out-Null
  if ($LASTEXITCODE -ne 0) { throw "install.ps1: the program does not run on this machine: nothing was installed" }
  Move-Item -Force $draft $place
  "Installed ${place}: $((& $place build-info)[0])"
  if (($env:PATH -split ";") -notcontains $folder) { "Add $folder to your PATH: `$env:PATH = `"$folder;`$env:PATH`"" }
} finally {
  Remove-Item -Recurse -Force $work
  if (Test-Path $draft) { Remove-Item -Force $draft }
}
