package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A component has exports, and no beginning.
func main() {}

type month struct {
	days   int
	values [][]float64
}

func refuse(line int, text string) Result[string, ApiProblem] {
	return Err[string](ApiProblem{Line: uint32(line), Text: text})
}

func ApiMonths(table string, columns []ApiColumn) Result[string, ApiProblem] {
	reader := csv.NewReader(strings.NewReader(table))
	names, err := reader.Read()
	if err != nil {
		return refuse(0, "Cannot read a table without a header")
	}
	date := slices.Index(names, "date")
	if date < 0 {
		return refuse(1, `There is no column "date"`)
	}
	places := make([]int, len(columns))
	header := []string{"month", "days"}
	for i, column := range columns {
		if places[i] = slices.Index(names, column.Name); places[i] < 0 {
			return refuse(1, fmt.Sprintf("There is no column %q", column.Name))
		}
		header = append(header, column.Name)
	}
	months := map[string]*month{}
	for row, err := reader.Read(); err != io.EOF; row, err = reader.Read() {
		if bad := (*csv.ParseError)(nil); errors.As(err, &bad) {
			return refuse(bad.Line, "Cannot read the table: "+bad.Err.Error())
		}
		line, _ := reader.FieldPos(0)
		day, err := time.Parse(time.DateOnly, row[date])
		if err != nil {
			return refuse(line, fmt.Sprintf("%q is no date such as 2012-01-31", row[date]))
		}
		of := months[day.Format("2006-01")]
		if of == nil {
			of = &month{values: make([][]float64, len(columns))}
			months[day.Format("2006-01")] = of
		}
		of.days++
		for i, place := range places {
			value, err := strconv.ParseFloat(row[place], 64)
			if err == nil && !math.IsNaN(value) && !math.IsInf(value, 0) {
				of.values[i] = append(of.values[i], value)
			} else if row[place] != "" {
				return refuse(line, fmt.Sprintf("%q is no number", row[place]))
			}
		}
	}
	out := [][]string{header}
	for name, of := range months {
		row := []string{name, strconv.Itoa(of.days)}
		for i, column := range columns {
			row = append(row, fold(column.Fold, of.values[i]))
		}
		out = append(out, row)
	}
	slices.SortFunc(out[1:], func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	var text strings.Builder
	_ = csv.NewWriter(&text).WriteAll(out)
	return Ok[string, ApiProblem](text.String())
}

// One value of a month, to two places.
func fold(how ApiFold, values []float64) string {
	if len(values) == 0 {
		return ""
	}
	sum := 0.0
	for _, value := range values {
		sum += value
	}
	folded := map[ApiFold]float64{
		ApiFoldSum: sum, ApiFoldMean: sum / float64(len(values)), ApiFoldMin: slices.Min(values), ApiFoldMax: slices.Max(values),
	}[how]
	// Adding zero takes the sign from a zero.
	return strconv.FormatFloat(math.Round(folded*100)/100+0, 'f', -1, 64)
}
