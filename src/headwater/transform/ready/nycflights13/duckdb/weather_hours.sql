-- One row for each airport and hour, with a word for the weather.
with readings as (
  select
    origin,
    time_hour,
    temp,
    precip,
    visib,
    -- One reading says 1,048 mph (Newark, 12 February): no wind on earth, so it counts as not known.
    case when wind_speed between 0 and 200 then wind_speed end as wind_speed
  from tap_nycflights13.weather
)

select
  origin,
  time_hour,
  temp,
  precip,
  visib,
  wind_speed,
  case
    when precip > 0 then 'rain or snow'
    when visib < 5 then 'poor visibility'
    when wind_speed >= 25 then 'strong wind'
    else 'clear'
  end as weather
from readings
