/**
 * ISO 4217: which codes there are, and how many digits their amounts have, on a day. Without those of funds, metals and testing.
 * Today's are those of list one as SIX Financial Information published it on 2026-01-01, which a test has. What has changed since
 * 2007 has its days, which agree with the Unicode CLDR's supplemental data to the month.
 */

/** Codes with two digits that have been there all the time. */
const two =
  "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SOS SRD SVC SYP SZL THB TJS TOP TRY TTD TWD TZS UAH USD UYU UZS WST XAD XCD YER ZAR"
const none = "BIF CLP DJF GNF JPY KMF KRW PYG RWF UYI VND VUV XAF XOF XPF"
const three = "BHD IQD JOD KWD LYD OMR TND"
const four = "CLF UYW"
/** CODE digits from to, days as `YYYY-MM-DD`; `-` for always. */
const dated =
  "CYP 2 - 2008-01-01,MTL 2 - 2008-01-01,GHC 2 - 2008-01-01,GHS 2 2007-07-03 -,SDD 2 - 2007-07-01,SDG 2 2007-01-10 -,SSP 2 2011-07-18 -,TMM 2 - 2009-01-01,TMT 2 2009-01-01 -,ISK 2 - 2007-01-01,ISK 0 2007-01-01 -,UGX 2 - 2011-01-01,UGX 0 2011-01-01 -,BYR 0 - 2017-01-01,BYN 2 2016-07-01 -,EEK 2 - 2011-01-01,LVL 2 - 2014-01-01,LTL 2 - 2015-01-01,SKK 2 - 2009-01-01,HRK 2 - 2023-01-01,BGN 2 - 2026-01-01,ZMK 2 - 2013-01-01,ZMW 2 2013-01-01 -,MRO 2 - 2018-01-01,MRU 2 2018-01-01 -,STD 2 - 2018-01-01,STN 2 2018-01-01 -,VEF 2 - 2018-08-20,VES 2 2018-08-20 -,VED 2 2021-10-01 -,CUC 2 - 2021-07-01,SLL 2 - 2024-01-01,SLE 2 2022-07-01 -,ANG 2 - 2025-07-01,XCG 2 2025-03-31 -,ZWL 2 2009-02-02 2024-09-01,ZWG 2 2024-06-25 -"

function listed(list: string, code: string): bool {
  for (let at = 0; at < list.length; at += 4) if (list.substr(at, 3) == code) return true
  return false
}

/** The digits of a currency on a day, `""` for today's list; −1 where there is none. */
export function currencyExponent(code: string, on: string): i32 {
  if (code.length != 3) return -1
  if (listed(two, code)) return 2
  if (listed(none, code)) return 0
  if (listed(three, code)) return 3
  if (listed(four, code)) return 4
  const rows = dated.split(",")
  for (let i = 0; i < rows.length; i += 1) {
    const row = rows[i].split(" ")
    if (row[0] != code) continue
    const isBegun = row[2] == "-" || (on == "" ? true : on >= row[2])
    const isOver = row[3] != "-" && (on == "" || on >= row[3])
    if (isBegun && !isOver) return i32(parseInt(row[1]))
  }
  return -1
}
