-- One row for each kind of weather: what it does to punctuality, all carriers together.
select
  weather,
  count(*) as flights,
  round(100 * count(*) / sum(count(*)) over (), 1) as share_of_flights,
  round(100 * avg((not arrived)::integer), 1) as share_not_arrived,
  round(avg(dep_delay), 1) as average_departure_delay,
  round(avg(arr_delay), 1) as average_arrival_delay,
  round(avg(minutes_lost), 1) as minutes_lost_per_flight,
  round(100 * sum(minutes_lost) / sum(sum(minutes_lost)) over (), 1) as share_of_minutes_lost
from flights_enriched
group by weather
