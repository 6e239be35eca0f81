package main

import "strings"

// A component has exports, and no beginning.
func main() {}

var welcomes = map[string]string{"en": "Welcome", "de": "Willkommen", "fr": "Bienvenue"}

func ApiGreet(visitor ApiVisitor) Result[ApiWelcome, string] {
	if strings.TrimSpace(visitor.Name) == "" {
		return Err[ApiWelcome]("Cannot welcome a visitor without a name")
	}
	language := "en"
	for _, tag := range visitor.Languages {
		if _, known := welcomes[tag]; known {
			language = tag
			break
		}
	}
	LoggingLog(LoggingLevelInfo, "greet", "Welcomed a visitor in "+language)
	return Ok[ApiWelcome, string](ApiWelcome{Text: welcomes[language] + ", " + visitor.Name + "!", Language: language})
}
